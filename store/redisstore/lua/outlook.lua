-- outlook counts what waits in lanes, at no more of them than it can in a short time: the next call goes on
-- behind the last one.
-- ARGV: 2 mch_id of the only lane to look at, empty = all        3 place to go on behind, see lanes_after
--       4, 5 microseconds between which dues are told apart
-- Reply: now, where to go on (empty = that was all), then for each lane and class with any: mch_id, the class
-- (b = held for its own address, wherever it is due), how many are due before, between and behind.
local gone = emptied()
if gone then return gone end
local only, place, from, to = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local out, work = {now, ''}, 0

local function tell(mch, class, before, between, behind)
  if before + between + behind == 0 then return end
  local at = #out
  out[at + 1], out[at + 2], out[at + 3], out[at + 4], out[at + 5] = mch, class, before, between, behind
end

local function visit(mch)
  local L = view(mch)
  work = work + 2
  tell(mch, 'b', 0, redis.call('ZCARD', P .. 'b:' .. mch), 0)
  if L.wt <= 0 then return end
  for class = 0, 2 do
    local key = P .. 'd' .. class .. ':' .. mch
    local all = redis.call('ZCARD', key)
    work = work + 1
    if all > 0 then
      local before, behind = redis.call('ZCOUNT', key, '-inf', '(' .. from), redis.call('ZCOUNT', key, to, '+inf')
      tell(mch, int(class), before, all - before - behind, behind)
      work = work + 2
    end
  end
end

if only ~= '' then
  visit(only)
else
  out[2] = each_lane(place, visit, function() return work end)
end
return out
