"""The dialects that xDSL does not carry."""
