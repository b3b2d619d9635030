"""The migrations, in order, run by `runtime.store.migration`."""
