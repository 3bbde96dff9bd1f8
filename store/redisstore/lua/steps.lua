-- steps counts what is due in each of some steps of time.
-- ARGV: 2 the due set   3 microsecond at which the first step begins   4 how long one is   5 how many
-- Reply: now, then a count for each.
local gone = emptied()
if gone then return gone end
local key, from, step = P .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local out = {now}
for i = 1, tonumber(ARGV[5]) do
  out[i + 1] = redis.call('ZCOUNT', key, int(from + (i - 1) * step), '(' .. int(from + i * step))
end
return out
