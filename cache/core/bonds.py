"""Bonds: what this process knows of the generations that local entries depend on.

A push that a generation changed makes its token unknown, at once and whatever it covers; no entry
under it answers until a look at the store has said what the token is now. If it is the one that an entry was made
under (a generation is also touched when its life is prolonged), the entry answers again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cache.core.generations import NO_TOKEN, Fence, read_token

Scopes = tuple[tuple[str, bytes], ...]
"""Scopes of an entry with the tokens that it was made under."""

_BOND_BYTES = 400
_TIES_BYTES = 320


class Bond:
    """One scope.

    Attributes:
        token: its token as the store had it last; None while that is not known.
        read: the part of it that entries are compared with; empty while not known.
        asked: the server was asked for it and has not answered yet.
    """

    __slots__ = ("asked", "name", "read", "scope", "token", "users")

    def __init__(self, scope: str, name: str) -> None:
        self.scope, self.name = scope, name
        self.token: bytes | None = None
        self.read = b""
        self.users = 0
        self.asked = False


class Ties:
    """What entries of the same scopes and tokens share.

    Args:
        pairs: a bond for each scope, with the token that the entries were made under.
    """

    __slots__ = ("_fence", "_fenced", "key", "pairs", "scopes", "users")

    def __init__(self, key: Scopes, pairs: tuple[tuple[Bond, bytes], ...]) -> None:
        self.key, self.pairs = key, pairs
        self.scopes = tuple(scope for scope, _ in key)
        self.users = 0
        self._fence: Fence | None = None
        self._fenced: tuple[bytes | None, ...] = ()

    def broken(self) -> bool:
        """True when a scope is known to have another token now: the entries will never be valid again."""
        return any(bond.token is not None and bond.read != made_under for bond, made_under in self.pairs)

    def fence(self, own: bytes) -> Fence:
        """What a write after a local hit is fenced with."""
        tokens = tuple([bond.token for bond, _ in self.pairs])
        if own == NO_TOKEN and self._fence is not None and self._fenced == tokens:
            return self._fence
        fence = Fence(tuple(zip(self.scopes, tokens, strict=True)), own)
        if own == NO_TOKEN:
            self._fence, self._fenced = None, tokens
            self._fence = fence
        return fence


class Bonds:
    """All bonds of one tier; changes are the tier's to serialise.

    Args:
        scope_name: the Redis key of a scope's generation.
    """

    def __init__(self, scope_name: Callable[[str], str]) -> None:
        self._scope_name = scope_name
        self._bonds: dict[str, Bond] = {}
        self._ties: dict[Scopes, Ties] = {}
        self.used = 0

    def tie(self, scopes: Scopes) -> Ties:
        """The ties of an entry, for one more user."""
        ties = self._ties.get(scopes)
        if ties is None:
            pairs = tuple((self._bond(scope), token) for scope, token in scopes)
            ties = self._ties[scopes] = Ties(scopes, pairs)
            self.used += _TIES_BYTES
        ties.users += 1
        return ties

    def untie(self, ties: Ties) -> None:
        """One user less; without any the bonds go too."""
        ties.users -= 1
        if ties.users or self._ties.pop(ties.key, None) is None:
            return
        self.used -= _TIES_BYTES
        for bond, _ in ties.pairs:
            bond.users -= 1
            if not bond.users and self._bonds.pop(bond.name, None) is not None:
                self.used -= _BOND_BYTES

    def _bond(self, scope: str) -> Bond:
        name = self._scope_name(scope)
        bond = self._bonds.get(name)
        if bond is None:
            bond = self._bonds[name] = Bond(scope, name)
            self.used += _BOND_BYTES
        bond.users += 1
        return bond

    def learn(self, tokens: Mapping[str, bytes | None], current: Callable[[str], bool]) -> list[Bond]:
        """Note what the store said, for scopes that something depends on.

        Args:
            current: False for a generation (its Redis key) that changed after the store was asked.

        Returns:
            Bonds that are still unknown for that reason.
        """
        overtaken = []
        for scope, token in tokens.items():
            bond = self._bonds.get(self._scope_name(scope))
            if bond is None:
                continue
            if current(bond.name):
                self._set(bond, token)
            elif bond.token is None:
                overtaken.append(bond)
        return overtaken

    @staticmethod
    def _set(bond: Bond, token: bytes | None) -> None:
        # in this order a reader beside us never takes an unknown bond for a known one
        bond.read = b"" if token is None else read_token(token)
        bond.token = token

    def doubt(self, name: str) -> Bond | None:
        """A generation (its Redis key) changed: its token is unknown; its bond, when it was known before."""
        bond = self._bonds.get(name)
        if bond is None or bond.token is None:
            return None
        bond.token, bond.read = None, b""
        return bond

    def clear(self) -> None:
        """Forget everything."""
        for bond in self._bonds.values():
            bond.token, bond.read = None, b""
        self._bonds, self._ties, self.used = {}, {}, 0
