"""What wraps redis-py's entry points, looked at from outside: its layers, and how to run them around a command.

The wrappers are those of ``wrapt``, which the instrumentation and we use. Nothing of redis-py is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from types import FunctionType, SimpleNamespace
from typing import Any

from telemetry.redis_endings import COMPLETES

_STABLE = {"db_sem_conv_opt_in_mode": "database", "http_sem_conv_opt_in_mode": "http"}
"""What the instrumentation goes by when it writes the stable names only."""


def light_tracer(entry: Any) -> Any:
    """The tracer of an entry point that is wrapped as our own set-up does it, and by nobody else; else None.

    That is the instrumentation without hooks, with the stable names, directly around our completion of it.
    """
    wrapper, inner = getattr(entry, "_self_wrapper", None), getattr(entry, "__wrapped__", None)
    if not hasattr(getattr(inner, "_self_wrapper", None), COMPLETES):
        return None
    if not isinstance(wrapper, FunctionType) or not isinstance(getattr(inner, "__wrapped__", None), FunctionType):
        return None
    names, cells = wrapper.__code__.co_freevars, wrapper.__closure__ or ()
    held = {name: cell.cell_contents for name, cell in zip(names, cells, strict=True)}
    stable = all(getattr(held.get(name), "value", None) == mode for name, mode in _STABLE.items())
    if not stable or held.get("request_hook") is not None or held.get("response_hook") is not None:
        return None
    return getattr(held.get("tracer"), "tracer", None)


def stand_in(server: Mapping[str, Any], pipeline: Sequence[Sequence[Any]] | None) -> Any:
    """What stands for redis-py's client: the parts of it that the instrumentation reads.

    Args:
        server: the keywords of its connection.
        pipeline: the commands that wait in it; None when it is no pipeline.
    """
    pool = SimpleNamespace(connection_kwargs=dict(server))
    if pipeline is None:
        return SimpleNamespace(connection_pool=pool)
    return SimpleNamespace(connection_pool=pool, command_stack=[(tuple(args), {}) for args in pipeline])


class Around:
    """An entry point's wrappers around one command, halted where redis-py would have sent it.

    They run in a context of their own, so that the end may come in another task or thread than the start.

    Args:
        entry: the wrapped method, as its class holds it.
        name: of the method.
        instance: what it would be called on.
        args: what it would be called with.
        dropped: called for a fault of the telemetry.
    """

    __slots__ = ("_context", "_dropped", "_running")

    def __init__(
        self, entry: Any, name: str, instance: Any, args: tuple[Any, ...], dropped: Callable[[], None]
    ) -> None:
        self._dropped = dropped
        self._context = copy_context()
        self._running = _layered(entry, name, instance)(*args)
        self._context.run(self._running.send, None)

    def finish(self, error: BaseException | None, reply: Any = None) -> None:
        """Let them end; see ``commands.CommandSpan``."""
        where = error.__traceback__ if error is not None else None
        try:
            if error is None:
                self._context.run(self._running.send, reply)
            else:
                self._context.run(self._running.throw, error)
        except StopIteration:
            return
        except BaseException as raised:
            if raised is not error:
                self._dropped()
        finally:
            if error is not None:
                error.__traceback__ = where


class _Pause:
    """Gives control back until the reply is there."""

    def __await__(self) -> Any:
        return (yield)


def _layered(layer: Any, name: str, instance: Any) -> Any:
    """The wrappers from ``layer`` inwards, around a pause in place of redis-py's own function."""
    around = getattr(layer, "_self_wrapper", None)
    if around is None:
        return _PAUSES[name]
    inner = _layered(layer.__wrapped__, name, instance)

    def run(*args: Any, **kwargs: Any) -> Any:
        return around(inner, instance, args, kwargs)

    # our completion tells a pipeline by the name of what it wraps
    run.__name__ = name
    return run


async def execute_command(*_: Any, **__: Any) -> Any:
    """Stands for the method of that name."""
    return await _Pause()


async def execute(*_: Any, **__: Any) -> Any:
    """Stands for a pipeline's method of that name."""
    return await _Pause()


_PAUSES = {"execute_command": execute_command, "execute": execute}
