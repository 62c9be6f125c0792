"""The mapping of the driver's errors is complete."""

from __future__ import annotations

import errno
import inspect

import pytest
import redis.exceptions as driver

from cache.errors import StoreError
from cache.stores.errors import BY_CLASS, store_error
from telemetry.vocabulary import ErrorType


def test_every_exception_of_the_driver_has_a_kind():
    """A class that redis-py grows or drops is noticed here."""
    classes = {
        name
        for name, member in vars(driver).items()
        if inspect.isclass(member) and issubclass(member, Exception) and member.__module__ == driver.__name__
    }

    assert set(BY_CLASS) == classes


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (driver.TimeoutError("x"), ErrorType.TIMEOUT),
        (driver.AuthenticationError("x"), ErrorType.AUTH),
        (driver.BusyLoadingError("x"), ErrorType.LOADING),
        (driver.InvalidResponse("x"), ErrorType.PROTOCOL),
        (driver.ResponseError("OOM command not allowed when used memory > 'maxmemory'."), ErrorType.OOM),
        (driver.ResponseError("READONLY You can't write against a read only script."), ErrorType.READONLY),
        (driver.ResponseError("NOPERM no"), ErrorType.NOPERM),
        (driver.ResponseError("ACL failure in script: no"), ErrorType.NOPERM),
        (driver.ResponseError("BUSY running a script"), ErrorType.TIMEOUT),
        (driver.ResponseError("BUSYKEY exists"), ErrorType.OTHER),
        (driver.ResponseError("WRONGTYPE no"), ErrorType.OTHER),
        (TimeoutError(), ErrorType.TIMEOUT),
        (ConnectionResetError(errno.ECONNRESET, "x"), ErrorType.REFUSED),
        (OSError(errno.EMFILE, "x"), ErrorType.REFUSED),
        (MemoryError(), ErrorType.PROTOCOL),
        (ValueError("x"), ErrorType.OTHER),
    ],
)
def test_an_error_has_its_kind(error, kind):
    """By class, and by the first word of the server's text."""
    assert store_error(error).kind is kind


def test_a_kind_that_is_known_stays():
    """A ``StoreError`` passes as it is."""
    trouble = StoreError(ErrorType.BREAKER_OPEN)

    assert store_error(trouble) is trouble


def test_silence_belongs_to_time_outs_only():
    """A refusal is an answer."""
    assert store_error(TimeoutError(), silent=True).silent
    assert not store_error(ConnectionRefusedError(), silent=True).silent
