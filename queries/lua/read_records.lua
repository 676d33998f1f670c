-- Reads the records of some movies; a whole scan returns each movie that stays, maybe twice.
-- KEYS: state, rows.
-- ARGV: cursor ('0' at first), about how many movies, the first row format that has records.
-- Returns {next cursor ('0' at the end), record...}; {'gone'} if the generation must not be shown
-- or has no records.
local number = require("projections.lua.number")
local row = require("projections.lua.row")
local state = require("projections.lua.state")
local keys = state.keys(KEYS)
local cursor, count, first_format = ARGV[1], ARGV[2], tonumber(ARGV[3])

if not state.shown(keys) or number(redis.call("HGET", keys.state, "format")) < first_format then
  return { "gone" }
end
local next_cursor, scanned = unpack(redis.call("HSCAN", keys.rows, cursor, "COUNT", count))
local reply = { next_cursor }
for i = 2, #scanned, 2 do reply[#reply + 1] = row.record(scanned[i]) end
return reply
