-- The state of a generation. Every script asks here whether a generation is usable.
--
-- A generation is complete if each of its keys has as many entries as its state says, so a lost key
-- is noticed at once; counting costs Redis no more than a look. A key of another type answers
-- `pcall` with an error, which is no number: the generation is not complete either.
local now_ms = require("projections.lua.clock")
local number = require("projections.lua.number")

local state = {}

-- The names of the keys in `Keys.lasting`, or of the first five, `Keys.listed`.
function state.keys(keys)
  return {
    state = keys[1],
    rows = keys[2],
    created = keys[3],
    years = keys[4],
    titles = keys[5],
    deleted = keys[6],
    users = keys[7],
    parked = keys[8],
  }
end

-- The named fields of the state; empty if its key is of another type.
function state.read(keys, ...)
  local fields, values = {}, redis.pcall("HMGET", keys.state, ...)
  if values.err then return fields end
  for i, name in ipairs({ ... }) do
    fields[name] = values[i]
  end
  return fields
end

local function lists_are_complete(keys, rows)
  rows = number(rows)
  return rows == redis.pcall("HLEN", keys.rows)
    and rows == redis.pcall("ZCARD", keys.created)
    and rows == redis.pcall("ZCARD", keys.years)
    and rows == redis.pcall("ZCARD", keys.titles)
end

local function is_complete(keys)
  local stored = state.read(
    keys, "rows", "gone", "users", "parked", "position", "events", "mends", "dropped"
  )
  return number(stored.position) >= 0
    and number(stored.events) >= 0
    and number(stored.mends) >= 0
    and number(stored.dropped) >= 0
    and number(stored.gone) == redis.pcall("HLEN", keys.deleted)
    and number(stored.users) == redis.pcall("HLEN", keys.users)
    and number(stored.parked) == redis.pcall("HLEN", keys.parked)
    and lists_are_complete(keys, stored.rows)
end

-- The state, given the stored fields `state` and `format` and the row format that is wanted.
function state.of(keys, fields, row_format)
  local stored = fields.state
  if stored ~= constants.BUILDING and stored ~= constants.LIVE then return stored end
  if not is_complete(keys) then return constants.DAMAGED end
  if (fields.format or "1") ~= row_format then return constants.OTHER_FORMAT end
  return stored
end

-- Whether events can be applied to a generation in this state.
function state.takes_events(current)
  return current == constants.BUILDING or current == constants.LIVE
end

-- The position and further fields of a generation that readers may see; nil for any other.
function state.shown(keys, ...)
  local fields = state.read(keys, "state", "position", "rows", ...)
  if fields.state == constants.LIVE
    and number(fields.position) >= 0
    and lists_are_complete(keys, fields.rows)
  then
    return fields
  end
  return nil
end

-- Whether a generation is paused, given the field `hold`. No pause begins more than PAUSE_MS before
-- its end: a `hold` that ends later, or is no number, is junk and pauses nothing.
function state.is_paused(hold)
  if not hold then return false end
  local now, until_ms = now_ms(), number(hold)
  return now < until_ms and until_ms <= now + constants.PAUSE_MS
end

-- Stores how many entries each key has. Every script that changes a key calls it.
function state.store_counts(keys)
  redis.call(
    "HSET", keys.state,
    "rows", redis.call("HLEN", keys.rows),
    "gone", redis.call("HLEN", keys.deleted),
    "users", redis.call("HLEN", keys.users),
    "parked", redis.call("HLEN", keys.parked)
  )
end

return state
