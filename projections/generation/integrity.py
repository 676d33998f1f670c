"""Whether a generation is whole, as far as counting tells: a lost key is noticed at once.

The head says how many there are of everything; how many are there costs Redis no more than a look.
A key of another type answers ``pcall`` with an error, which is no number: it is not whole either.
"""

from projections.lua import NUMBER

LISTS = (
    NUMBER
    + """
local function lists_whole(rows)
  rows = number(rows)
  return rows == redis.pcall('HLEN', KEYS[2]) and rows == redis.pcall('ZCARD', KEYS[3])
    and rows == redis.pcall('ZCARD', KEYS[4]) and rows == redis.pcall('ZCARD', KEYS[5])
end
"""
)
"""Lua: whether the lists are, given the ``rows`` of the head. ``KEYS`` begin with ``listed``."""

ALL = (
    LISTS
    + """
local counted = redis.pcall('HMGET', KEYS[1], 'rows', 'gone', 'users', 'parked', 'position',
  'events', 'mends', 'dropped')
local function all_whole()
  for i = 5, 8 do
    if number(counted[i]) < 0 then return false end
  end
  for i = 2, 4 do
    if number(counted[i]) ~= redis.pcall('HLEN', KEYS[i + 4]) then return false end
  end
  return lists_whole(counted[1])
end

local function count()
  redis.call('HSET', KEYS[1], 'rows', redis.call('HLEN', KEYS[2]),
    'gone', redis.call('HLEN', KEYS[6]), 'users', redis.call('HLEN', KEYS[7]),
    'parked', redis.call('HLEN', KEYS[8]))
end
"""
)
"""Lua: whether all of it is, and the counting after a change. ``KEYS`` are ``lasting``."""
