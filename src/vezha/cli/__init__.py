"""Commands: parse, call, print. Each noun is one module."""
