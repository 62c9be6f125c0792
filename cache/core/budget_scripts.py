"""The Lua over the account of what a namespace has written: one hash, a field for each time at which something ends."""

from __future__ import annotations

from cache.core.steps import Lua

SPEND = Lua(
    "budget_spend",
    """
-- KEYS the account; ARGV for each sum: seconds until it ends, the width of its field in seconds, bytes
local now, sums, used, last = tonumber(redis.call('TIME')[1]), {}, 0, 0
local kept = redis.call('HGETALL', KEYS[1])
for i = 1, #kept, 2 do
  local ends = tonumber(kept[i]) or 0
  if ends > now then
    sums[kept[i]] = tonumber(kept[i + 1]) or 0
    used, last = used + sums[kept[i]], math.max(last, ends)
  else
    redis.call('HDEL', KEYS[1], kept[i])
  end
end
for i = 1, #ARGV, 3 do
  local width = tonumber(ARGV[i + 1])
  local ends = math.ceil((now + ARGV[i]) / width) * width
  local field = string.format('%.0f', ends)
  sums[field] = (sums[field] or 0) + ARGV[i + 2]
  used, last = used + ARGV[i + 2], math.max(last, ends)
  redis.call('HSET', KEYS[1], field, string.format('%.0f', sums[field]))
end
if last > 0 then redis.call('PEXPIRE', KEYS[1], string.format('%.0f', (last - now) * 1000)) end
return used
""",
)
"""Add what was written and drop what has ended; returns the bytes that have not."""
