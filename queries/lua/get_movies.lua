-- Reads movies.
-- KEYS: state, rows.
-- ARGV: ids.
-- Returns {'movies', position, JSON...}, movies that do not exist left out; {'gone'} if the
-- generation must not be shown.
local row = require("projections.lua.row")
local state = require("projections.lua.state")
local keys = state.keys(KEYS)

local position = state.shown(keys)
if not position then return { "gone" } end
return row.append_json({ "movies", tonumber(position) }, keys.rows, ARGV)
