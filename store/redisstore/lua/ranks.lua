-- ranks gives what stands at some ranks of sorted sets.
-- ARGV: 2 what: i = members, s = scores; then for each range of ranks: the set, the first rank, the last one.
-- Reply: now, then what was asked for, in that order.
local gone = emptied()
if gone then return gone end
local out, n = {now}, 1
for i = 3, #ARGV, 3 do
  local got = redis.call('ZRANGE', P .. ARGV[i], ARGV[i + 1], ARGV[i + 2], 'WITHSCORES')
  for k = ARGV[2] == 's' and 2 or 1, #got, 2 do
    n = n + 1
    out[n] = got[k]
  end
end
return out
