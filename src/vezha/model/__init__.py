"""The words everyone shares: labels, samples, hosts, severity.

Owns plain value types and nothing else. Every room may import it; it imports none.
Modules here run on the standard library (Python 3.10 or later), because the agent carries
them to hosts without packages; the one exception is `columns`, which needs numpy and is
imported by the server's rooms only.
"""
