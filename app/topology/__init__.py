"""The one place that binds stages to Faust: topics, tables, agents, services."""
