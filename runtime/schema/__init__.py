"""The types that cross a wire: the API's, the guest protocol's, the configuration's."""
