"""The JSON bodies of the API: the type of each, and the function that builds it.

`web/openapi` publishes the JSON schemas of these types, so that a body and its description cannot differ.
"""
