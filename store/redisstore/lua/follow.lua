-- follow reads the log of settled attempts.
-- ARGV: entry to go on behind (empty = only tell which one is the last), how many at most.
-- Reply: now, then entry, notify_id and number of the attempt of each; or now and the last entry.
local gone = emptied()
if gone then return gone end
if ARGV[2] == '' then
  local last = redis.call('XREVRANGE', P .. 'log', '+', '-', 'COUNT', 1)
  return {now, last[1] and last[1][1] or '0-0'}
end
local out = {now}
for _, entry in ipairs(redis.call('XRANGE', P .. 'log', '(' .. ARGV[2], '+', 'COUNT', ARGV[3])) do
  local n, fields = #out, entry[2]
  out[n + 1], out[n + 2], out[n + 3] = entry[1], fields[2], fields[4]
end
return out
