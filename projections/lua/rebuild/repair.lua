-- Changes single fields of a paused generation and begins a new repair epoch: batches that were
-- prepared before do not apply.
-- KEYS: `Keys.lasting`.
-- ARGV: position and end of the pause, the writes.
-- Returns 1; 0 if the pause has ended, and then nothing is changed.
local apply_writes = require("projections.lua.writes")
local now_ms = require("projections.lua.clock")
local number = require("projections.lua.number")
local state = require("projections.lua.state")
local keys = state.keys(KEYS)
local position, until_ms, first_write = ARGV[1], ARGV[2], 3

local fields = state.read(keys, "position", "hold", "mends")
local now = now_ms()
if fields.position ~= position or fields.hold ~= until_ms or now >= tonumber(until_ms) then
  return 0
end
for _, key in ipairs({ keys.rows, keys.deleted, keys.users, keys.parked, keys.days }) do
  local kind = redis.call("TYPE", key)["ok"]
  if kind ~= "hash" and kind ~= "none" then redis.call("UNLINK", key) end
end
apply_writes(KEYS, ARGV, first_write)
state.store_counts(keys)
if number(fields.mends) < 0 then
  -- The counter was lost: restart it from the clock, which no earlier value can equal.
  redis.call("HSET", keys.state, "mends", math.floor(now / 1000))
end
redis.call("HINCRBY", keys.state, "mends", 1)
return 1
