"""The one-machine stack: everything overnight needs, started and kept alive here.

`services.plan` says what runs, `keeper.Keeper` keeps one of them alive, `supervisor.Supervisor`
keeps all of them in order, and `record.StackRecord` is what other processes may know of it.
"""
