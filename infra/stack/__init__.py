"""The one-machine stack: all services that overnight needs, started and kept alive.

`services.plan` lists them, `service_runner.ServiceRunner` keeps one of them alive,
`supervisor.Supervisor` all of them in order, and `state_file.StackRecord` is their published state.
"""
