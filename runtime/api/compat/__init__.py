"""Other spellings of the API: guide-style calls, the shape before the steps, OpenAI's.

Everything here is translation onto the same services; nothing is decided twice.
"""
