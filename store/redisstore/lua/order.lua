-- order finds notifications by order number, newest first. All of one order number have one score, so that
-- they stand in the order of their notify_ids.
-- ARGV: score of the order number, notify_id that they must be below, how many at most.
-- Reply: now, then notify_ids; others may share the score.
local gone = emptied()
if gone then return gone end
local score, below, most = ARGV[2], ARGV[3], tonumber(ARGV[4])
local key = P .. 'o:' .. math.floor(score / ORDERS)
local from = redis.call('ZCOUNT', key, '(' .. score, '+inf') -- ranks, counted from the highest score
local till = from + redis.call('ZCOUNT', key, score, score)
local low, high = from, till
while low < high do -- where those below begin
  local middle = math.floor((low + high) / 2)
  if redis.call('ZREVRANGE', key, middle, middle)[1] < below then high = middle else low = middle + 1 end
end
local out = {now}
if low < till then
  local ids = redis.call('ZREVRANGE', key, low, math.min(low + most, till) - 1)
  for i, id in ipairs(ids) do out[i + 1] = id end
end
return out
