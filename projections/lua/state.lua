-- The state of a generation. Every script asks here whether a generation is usable.
--
-- A generation is complete if each of its keys has as many entries as its state says, so a lost key
-- is noticed at once; counting costs Redis no more than a look. A key of another type answers
-- `pcall` with an error, which is no number: the generation is not complete either.
local now_ms = require("projections.lua.clock")
local number = require("projections.lua.number")

-- The names of the keys in `Keys.lasting`, or of the first two.
local function named(keys)
  return {
    state = keys[1], rows = keys[2], deleted = keys[3], users = keys[4], parked = keys[5],
    days = keys[6],
  }
end

-- The named fields of the state; empty if its key is of another type.
local function read(keys, ...)
  local fields, values = {}, redis.pcall("HMGET", keys.state, ...)
  if values.err then return fields end
  for i, name in ipairs({ ... }) do fields[name] = values[i] end
  return fields
end

-- Generations of another format need not have counts of days.
local function is_complete(keys, same_format)
  local position, events, repair_epoch, discarded, rows, deleted, users, parked, days = unpack(
    redis.pcall(
      "HMGET", keys.state,
      "position", "events", "mends", "dropped", "rows", "gone", "users", "parked", "days"
    )
  )
  return number(position) >= 0 and number(events) >= 0
    and number(repair_epoch) >= 0 and number(discarded) >= 0
    and number(deleted) == redis.pcall("HLEN", keys.deleted)
    and number(users) == redis.pcall("HLEN", keys.users)
    and number(parked) == redis.pcall("HLEN", keys.parked)
    and number(rows) == redis.pcall("HLEN", keys.rows)
    and (not same_format or number(days) == redis.pcall("HLEN", keys.days))
end

-- The state, given the stored fields `state` and `format` and the row format that is wanted.
local function of(keys, stored, format, row_format)
  if stored ~= constants.BUILDING and stored ~= constants.LIVE then return stored end
  local same_format = (format or "1") == row_format
  if not is_complete(keys, same_format) then return constants.DAMAGED end
  if not same_format then return constants.OTHER_FORMAT end
  return stored
end

-- Whether events can be applied to a generation in this state.
local function takes_events(current)
  return current == constants.BUILDING or current == constants.LIVE
end

-- The position of a generation that readers may see; nil for any other.
local function shown(keys)
  local stored, position, rows =
    unpack(redis.pcall("HMGET", keys.state, "state", "position", "rows"))
  local is_complete_list = number(rows) == redis.pcall("HLEN", keys.rows)
  if stored == constants.LIVE and number(position) >= 0 and is_complete_list then
    return position
  end
  return nil
end

-- Whether a generation is paused, given the field `hold`. No pause begins more than PAUSE_MS before
-- its end: a `hold` that ends later, or is no number, is junk and pauses nothing.
local function is_paused(hold)
  if not hold then return false end
  local now, until_ms = now_ms(), number(hold)
  return now < until_ms and until_ms <= now + constants.PAUSE_MS
end

-- Stores how many entries each key has. Every script that changes a key calls it.
local function store_counts(keys)
  redis.call(
    "HSET", keys.state,
    "rows", redis.call("HLEN", keys.rows),
    "gone", redis.call("HLEN", keys.deleted),
    "users", redis.call("HLEN", keys.users),
    "parked", redis.call("HLEN", keys.parked),
    "days", redis.call("HLEN", keys.days)
  )
end

return {
  keys = named, read = read, of = of, takes_events = takes_events, shown = shown,
  is_paused = is_paused, store_counts = store_counts,
}
