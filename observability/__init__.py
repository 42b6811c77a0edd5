"""Makes the dashboards, the rules and the page of metrics from the catalogue: `python -m observability`."""
