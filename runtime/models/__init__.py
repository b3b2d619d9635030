"""Model providers behind one Protocol (`port`), found by name (`registry`)."""
