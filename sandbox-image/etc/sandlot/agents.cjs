// Loaded into every Node.js that the agent starts, where there is a network.
//
// NODE_USE_ENV_PROXY makes the global agents use the proxy; a program that makes an agent of its own,
// as many do to keep connections, would go past it and find nothing. Subclasses are left alone: they
// know what they do about proxies.
'use strict';
for (const name of ['node:http', 'node:https']) {
  const module = require(name);
  const proxied = (given) => [{ proxyEnv: process.env, ...given }];
  const Agent = new Proxy(module.Agent, {
    construct: (target, [options], maker) =>
      maker === Agent
        ? Reflect.construct(target, proxied(options))
        : Reflect.construct(target, [options], maker),
    apply: (target, self, [options]) =>
      self instanceof target ? Reflect.apply(target, self, [options]) : new Agent(options),
  });
  module.Agent = Agent;
}
require('node:module').syncBuiltinESMExports();
