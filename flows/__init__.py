"""The order of the steps, as Prefect flows. No other package imports Prefect's engine."""
