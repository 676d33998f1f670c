-- Returns movies by their ids.
-- KEYS: `Keys.listed`.
-- ARGV: ids.
-- Returns {'movies', position, JSON...} of those that exist; {'gone'} if the generation must not
-- be shown.
local row = require("projections.lua.row")
local state = require("projections.lua.state")
local keys = state.keys(KEYS)
local ids = ARGV

local position = state.shown(keys)
if not position then return { "gone" } end
return row.append_json({ "movies", tonumber(position) }, keys.rows, ids)
