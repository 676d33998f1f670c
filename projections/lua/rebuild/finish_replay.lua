-- Gives a generation its checkpoint and state when its replay has ended.
-- KEYS: `Keys.lasting`.
-- ARGV: position, number of events, name and time of the last event, state, the writes.
-- Returns 1; 0 if the generation is not being replayed any more.
local apply_writes = require("projections.lua.writes")
local state = require("projections.lua.state")
local keys = state.keys(KEYS)
local position, events, name, at, new_state = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local first_write = 6

if redis.call("HGET", keys.state, "state") ~= constants.REPLAYING then return 0 end
apply_writes(KEYS, ARGV, first_write)
redis.call(
  "HSET", keys.state,
  "position", position, "events", events, "last", name, "at", at, "state", new_state
)
state.store_counts(keys)
return 1
