"""The Lua that runs inside a cluster, where a commit's keys live on several servers: each script has one key.

A commit is taken apart: the generations are compared where they live, then the entry is stored where it
lives, with their tokens in its header, so that one that came too late is refused by each read. What no read
could tell, a write that overtakes a pattern's sweep, is refused by time: the entry's own server says when
the comparison was, and takes the entry only ``LEASE_US`` later at most. A sweep waits longer than that
between changing the fence and its first look. Lengths and offsets repeat ``scripts``.
"""

from __future__ import annotations

from cache.core.scripts import NOTE
from cache.core.steps import Lua

LEASE_S = 0.25
"""How long after the comparison of its fence an entry may be stored, in seconds, and how long that may take."""

LEASE_US = int(LEASE_S * 1_000_000)
"""The same in the unit of the server's clock."""

SETTLE_S = 2 * LEASE_S + 0.1
"""How long a sweep waits until no write is under way that its fence would not refuse, in seconds."""

CHECK = Lua(
    "cluster_check",
    """
-- KEYS a generation; ARGV token as expected, or a proposal (80 bytes: a record; '+' before a token), lifetime in ms,
-- 1 when it is due for another one; returns whether it agrees, what it is now, whether it was made
local token, is, made = ARGV[1], redis.call('MGET', KEYS[1])[1], 0
local now = is
if #token == 80 or #token == 17 then
  if #token == 17 then token = string.sub(token, 2) end
  if not is then
    redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
    now, is, made = token, token, 1
  end
  token = #token == 80 and string.sub(token, 1, 32) or token
end
if #token == 32 and is then is = #is == 80 and string.sub(is, 1, 32) end
if is ~= token then return { 0, now, made } end
if ARGV[3] == '1' and redis.call('PTTL', KEYS[1]) < ARGV[2] * 0.75 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return { 1, now, made }
""",
)
"""Compare one generation of a fence, or make it."""

NOW = Lua(
    "cluster_now",
    """
-- KEYS an entry: where it lives; returns that server's time in us
local time = redis.call('TIME')
return time[1] .. string.format('%06d', time[2])
""",
)
"""The time of the server where a key lives, so that it is asked there and nowhere else."""

PUT = Lua(
    "cluster_put",
    """
-- KEYS an entry; ARGV bytes, px, own token ('': whatever there is), until when it may be stored in us
local time = redis.call('TIME')
if time[1] * 1000000 + time[2] > tonumber(ARGV[4]) then return 0 end
if ARGV[3] ~= '' then
  local head = redis.pcall('GETRANGE', KEYS[1], 0, 19)
  -- of any version: a record of another one guards its key too
  local ours = type(head) == 'string' and #head == 20 and string.sub(head, 1, 2) == '\\255g'
  if ARGV[3] ~= (ours and string.sub(head, 5, 20) or string.rep('\\0', 16)) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""",
)
"""Store an entry unless it was deleted meanwhile, or comes too late; 1 when it was stored."""

MARK = Lua(
    "cluster_mark",
    NOTE
    + """
-- KEYS a block; ARGV birth, 1 when the record says that it was begun, lifetime in ms, 1 when it is due for
-- another one, slot, the time in ticks; returns 1 when it was begun by this
local block, begun = redis.call('MGET', KEYS[1])[1], ARGV[2] == '1'
local made = note(KEYS[1], block, ARGV[1], begun, ARGV[3], ARGV[4] == '1', ARGV[5], tonumber(ARGV[6]))
return made and not begun and 1 or 0
""",
)
"""Fill the slot of a key; 1 when its block was begun by that."""

BEGUN = Lua(
    "cluster_begun",
    """
-- KEYS a category's record; ARGV birth, then numbers of blocks that were begun
local record = redis.call('GET', KEYS[1])
if not record or string.sub(record, 41, 48) ~= ARGV[1] then return 0 end
for i = 2, #ARGV do
  local number = tonumber(ARGV[i])
  local place = 48 + math.floor(number / 8)
  local flags, bit = string.byte(redis.call('GETRANGE', KEYS[1], place, place)), 2 ^ (7 - number % 8)
  if math.floor(flags / bit) % 2 == 0 then redis.call('SETRANGE', KEYS[1], place, string.char(flags + bit)) end
end
return 1
""",
)
"""Note in a category's record that blocks of its table were begun."""
