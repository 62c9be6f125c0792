"""The Lua over the fleet's one hash: what must be atomic there, and nothing else.

All of it lies in one key, so it is kept or lost together. Fields: ``epoch`` names this hash among
those that came before it; ``p:ID`` is the record of a process that lives or fell silent, ``e:ID``
of one that ended cleanly; ``total`` and ``folds`` are the sum and the number of those folded
together, ``f:ID`` tells who they were; ``m:ID`` and ``m:total`` say since when figures are missing.
A record begins with the server's time in ms, so that ages do not depend on anybody's clock.
"""

from __future__ import annotations

from cache.core.steps import Lua

WRITE = Lua(
    "fleet_write",
    """
-- KEYS the hash; ARGV id, figures, '1' when they are the last, an epoch in case there is none, lifetime in ms,
-- the epoch that this id has written in already, '' when it has not
local key, id, last = KEYS[1], ARGV[1], ARGV[3] == '1'
local folded = redis.call('HGET', key, 'f:' .. id)
if folded then return { folded } end
redis.call('HSETNX', key, 'epoch', ARGV[4])
local there = redis.call('HEXISTS', key, 'p:' .. id) == 1 or redis.call('HEXISTS', key, 'e:' .. id) == 1
if not there and ARGV[6] == redis.call('HGET', key, 'epoch') then return { '' } end
-- what was on its way when the last word was said comes too late
if last or redis.call('HEXISTS', key, 'e:' .. id) == 0 then
  local time = redis.call('TIME')
  local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
  redis.call('HSET', key, (last and 'e:' or 'p:') .. id, now .. ' ' .. ARGV[2])
  redis.call('HDEL', key, 'm:' .. id, last and 'p:' .. id or '')
end
redis.call('PEXPIRE', key, ARGV[5])
return { redis.call('HGET', key, 'epoch'), redis.call('HGET', key, 'folds') or '0', redis.call('HKEYS', key) }
""",
)
"""Put a process's figures there; returns epoch, folds and names of fields.

When it was folded meanwhile nothing is put, and the record that was folded is returned alone; an
empty one when that is so long ago that nobody remembers it.
"""

READ = Lua(
    "fleet_read",
    "local time = redis.call('TIME') "
    "return { string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), redis.call('HGETALL', KEYS[1]) }",
)
"""Everything, with the server's time in ms."""

MARK = Lua(
    "fleet_mark",
    """
-- KEYS the hash; ARGV '1' when figures of ended processes are lost, then ids of living ones whose figures are
local key, time = KEYS[1], redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
if ARGV[1] == '1' then redis.call('HSET', key, 'm:total', now) end
for i = 2, #ARGV do
  local there = false
  for _, kind in ipairs({ 'p:', 'e:', 'f:' }) do
    there = there or redis.call('HEXISTS', key, kind .. ARGV[i]) == 1
  end
  if not there then redis.call('HSETNX', key, 'm:' .. ARGV[i], now) end
end
return 1
""",
)
"""Note what is missing, since now; a process that writes again takes its mark away."""

SWAP = Lua(
    "fleet_swap",
    """
-- KEYS the hash; ARGV n, n times (field, the value that it must have, '' for none), m, m times (field, its new value),
-- then fields to drop
local key, n = KEYS[1], tonumber(ARGV[1])
for i = 2, 2 * n, 2 do
  if (redis.call('HGET', key, ARGV[i]) or '') ~= ARGV[i + 1] then return 0 end
end
local at = 2 * n + 2
local m = tonumber(ARGV[at])
for i = at + 1, at + 2 * m, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
for i = at + 2 * m + 1, #ARGV do redis.call('HDEL', key, ARGV[i]) end
return 1
""",
)
"""Compare and set several fields at once; 1 when it was done, 0 when any had changed."""
