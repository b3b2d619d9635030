"""The command line `sandlot`, and the place where all parts are put together."""
