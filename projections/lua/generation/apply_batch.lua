-- Applies a batch of events; rows and position become visible in one step.
-- KEYS: `Keys.all`.
-- ARGV: position that the batch follows; position, time ('' if unknown) and name of its last event;
-- number of events; repair epoch and row format that the writes are made for; packed records of the
-- movies that changed; the writes.
-- Returns the stored position, another one than that of the batch if it was not applied; -1 if the
-- generation takes no events.
local apply_writes = require("projections.lua.writes")
local state = require("projections.lua.state")
local keys, changes = state.keys(KEYS), KEYS[7]
local after, position, at, name = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local events, repair_epoch, row_format, records = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local first_write = 9

-- Keeps the change for those who follow. A stream that refuses it (another type, a later entry) is
-- begun anew: who follows it then finds a gap.
local function announce()
  local entry = {
    "XADD", changes, "MINID", math.max(0, position - constants.KEPT_POSITIONS),
    position .. "-0", "a", after, "c", records,
  }
  if redis.pcall(unpack(entry)).err then
    redis.call("UNLINK", changes)
    redis.pcall(unpack(entry))
  end
  local generation = string.match(keys.state, "%d+")
  redis.call("PUBLISH", constants.POSITION_CHANNEL, generation .. ":" .. position)
end

local stored_position, stored_state, stored_epoch, hold, format =
  unpack(redis.pcall("HMGET", keys.state, "position", "state", "mends", "hold", "format"))
local current = stored_position and state.of(keys, stored_state, format, row_format)
if not state.takes_events(current) then return -1 end
if stored_position ~= after or stored_epoch ~= repair_epoch or state.is_paused(hold) then
  return tonumber(stored_position)
end
apply_writes(KEYS, ARGV, first_write)
redis.call("HSET", keys.state, "position", position, "last", name)
redis.call("HINCRBY", keys.state, "events", events)
if at ~= "" then redis.call("HSET", keys.state, "at", at) end
state.store_counts(keys)
if current == constants.LIVE then announce() end
return tonumber(position)
