-- tally looks into the partitions of lanes, at no more of them than it can in a short time: the next call goes
-- on behind the last one.
-- ARGV:  2 mch_id of the only lane to look at, empty = all
--        3 place to go on behind, see lanes_after                 4 digits of the states that match
--        5, 6 verdict and reason as they stand in the name of a partition, empty = any
--        7, 8 limits of the microsecond of acceptance, as ZCOUNT takes them
--        9 what to tell: n = how many match, o = when the oldest of them was accepted
-- Reply: now, where to go on (empty = that was all), then for each partition with matches its mch_id, its name,
-- what was asked for, and how many of it lie before the first limit.
local gone = emptied()
if gone then return gone end
local only, place, named = ARGV[2], ARGV[3], naming(ARGV[4], ARGV[5], ARGV[6])
local from, to, oldest = ARGV[7], ARGV[8], ARGV[9] == 'o'
local out, work = {now, ''}, 0

local function look(L, part)
  local key, n, before = key_of(L, part), nil, 0
  work = work + 1
  if oldest then
    n = redis.call('ZRANGEBYSCORE', key, from, to, 'WITHSCORES', 'LIMIT', 0, 1)[2]
  else
    n = redis.call('ZCOUNT', key, from, to)
    if n == 0 then return end
    if from ~= '0' then
      before = redis.call('ZCOUNT', key, '-inf', '(' .. from)
      work = work + 1
    end
  end
  if not n then return end
  local at = #out
  out[at + 1], out[at + 2], out[at + 3], out[at + 4] = L.mch, part, n, before
end

local function visit(mch)
  local L = {mch = mch}
  work = work + 1
  for part in string.gmatch(redis.call('HGET', P .. 'l:' .. mch, 'pt') or '', named) do look(L, part) end
end

if only ~= '' then
  visit(only)
else
  out[2] = each_lane(place, visit, function() return work end)
end
return out
