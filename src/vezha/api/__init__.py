"""HTTP and JSON: the API that the pages, the command line of others and Grafana use.

Owns the table of routes, authentication of requests, the live stream and the Prometheus query
API. In come requests, out go JSON and frames. It refuses requests without an identity, actions
above the subject's role, bodies that are too big or do not fit their type, and requests that
another site made a browser send.
"""
