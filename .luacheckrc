-- Scripts that run inside Redis (Lua 5.1); load_script in projections/lua inserts `constants`.
std = "lua51"
read_globals = {"KEYS", "ARGV", "redis", "struct", "cjson", "cmsgpack", "bit", "constants"}
max_line_length = 100
include_files = {"projections/**/*.lua", "queries/**/*.lua", "service/**/*.lua"}
