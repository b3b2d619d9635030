"""The HTTP requests on one connection of a sandbox, each decided and carried on its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import anyio
import h11

from runtime.egress.caller import Caller
from runtime.egress.environment import Environment
from runtime.egress.exchange import Asked, Exchange
from runtime.egress.flow import Flow
from runtime.egress.heads import Scheme, Target, forward_target, inner_target
from runtime.egress.origin import Origin
from runtime.egress.policy import Verdict
from runtime.egress.refusals import Broken, Refusal, Stopped
from runtime.egress.treatment import Headers
from runtime.egress.uplink import Line, Uplink
from runtime.outbound.hosts import Authority

_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS"})


@dataclass(frozen=True, slots=True)
class Inside:
    """The tunnel that requests come out of: they may go nowhere else."""

    scheme: Scheme
    authority: Authority


class Session:
    """Requests of one caller, with at most one connection to a server kept for the next."""

    def __init__(
        self, caller: Caller, environment: Environment, uplink: Uplink, inside: Inside | None = None
    ) -> None:
        """Without `inside` the caller speaks to us as to a proxy."""
        self._caller = caller
        self._environment = environment
        self._uplink = uplink
        self._inside = inside
        self._kept: Origin | None = None

    async def serve(self) -> h11.Request | None:
        """Carry requests until the connection ends, or up to a CONNECT, which is returned."""
        method: str | None = None
        try:
            while (request := await self._caller.next_request()) is not None:
                method = request.method.decode("ascii")
                if request.method == b"CONNECT" and self._inside is None:
                    return request
                await self._carry(request)
                if not self._caller.can_go_on:
                    return None
        except Refusal as refusal:
            if not refusal.is_recorded:
                await self._environment.refused(refusal, method)
            if not self._caller.has_begun_to_answer:
                await self._caller.refuse(refusal, self._environment.policy.summary)
        finally:
            with anyio.CancelScope(shield=True):
                await self._let_go()
        return None

    async def adopt(self, line: Line, target: Target, flow: Flow) -> None:
        """Use a connection that stands already for the first request."""
        self._kept = Origin(line, target, flow)

    async def _carry(self, request: h11.Request) -> None:
        headers: Headers = list(request.headers)
        target = self._target(request, headers)
        if request.method in {b"CONNECT", b"TRACE"}:
            raise Refusal(405, f"{request.method.decode('ascii')} does not pass this proxy")
        asked = Asked(request.method, target, headers)
        method = request.method.decode("ascii")
        async with self._environment.flow(target.scheme, target.authority, method) as found:
            flow, verdict = found
            try:
                await self._exchange(asked, flow, verdict)
            except Broken as error:
                raise Refusal(502, f"{target.authority}: {error}", "failed") from error
            except Stopped as error:
                raise Refusal(429, str(error)) from error
        if flow.scope.cancelled_caught:
            refusal = Refusal(403 if flow.is_outlawed else 504, flow.reason)
            refusal.is_recorded = True
            raise refusal

    def _target(self, request: h11.Request, headers: Headers) -> Target:
        if self._inside is None:
            return forward_target(request.target)
        return inner_target(request.target, headers, self._inside.scheme, self._inside.authority)

    async def _exchange(self, asked: Asked, flow: Flow, verdict: Verdict) -> None:
        treatment = partial(self._environment.treatment, asked.target.authority)
        while True:
            origin = await self._origin(asked.target, flow, verdict)
            was_fresh = origin.is_fresh
            exchange = Exchange(self._caller, origin, asked, treatment, flow)
            try:
                await exchange.run()
            except Broken:
                await self._let_go()
                if was_fresh or exchange.has_heard or not _can_repeat(asked):
                    raise
                # A server may close a kept connection just when the next request is sent.
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await self._let_go()
                raise
            else:
                return

    async def _origin(self, target: Target, flow: Flow, verdict: Verdict) -> Origin:
        policy, kept = self._environment.policy, self._kept
        if kept is not None and not (
            kept.serves(target) and policy.allows_address(target.authority, kept.line.address)
        ):
            await self._let_go()
        if self._kept is None:
            self._kept = Origin(await self._line(target), target, flow)
        address = self._kept.line.address
        flow.address = address
        internal = policy.is_internal(target.authority, address)
        if target.scheme == "http" and verdict.treatment.needs_interception and not internal:
            raise Refusal(
                403,
                f"requests to {target.authority.host} carry a secret, so they must go over "
                "https://",
            )
        return self._kept

    async def _line(self, target: Target) -> Line:
        environment, plain = self._environment, target.scheme == "http"
        line = await self._uplink.reach(
            target.authority, environment.policy, environment.resolve, plain_http=plain
        )
        if plain:
            return line
        seconds = environment.policy.rules.limits.connect_seconds
        return await self._uplink.secured(line, target.authority, seconds)

    async def _let_go(self) -> None:
        if self._kept is not None:
            kept, self._kept = self._kept, None
            await kept.aclose()


def _can_repeat(asked: Asked) -> bool:
    return asked.method in _REPEATABLE and not asked.has_body and not asked.is_websocket
