-- prune deletes notifications, with everything that leads to them, if their records are still as expected.
-- ARGV, for each: notify_id, front of its record (empty = there is none, only delete what leads to it),
-- mch_id, partition, field of its idempotency key or empty, score of its order number or empty.
-- Reply: now, how many records were deleted.
local deleted, lanes = 0, {}

local function forget(id, mch, part, key, order)
  local L = lanes[mch] or lane(mch)
  if not L then return end
  lanes[mch] = L
  for class = 0, 2 do unwait(L, class, id) end
  if order ~= '' then redis.call('ZREM', P .. 'o:' .. math.floor(order / ORDERS), id) end
  redis.call('ZREM', P .. 'b:' .. mch, id)
  redis.call('ZREM', P .. 'c:' .. mch, id)
  redis.call('ZREM', key_of(L, part), id)
  local keys = P .. 'k:' .. mch
  if key ~= '' and redis.call('HGET', keys, key) == id then redis.call('HDEL', keys, key) end
end

for i = 2, #ARGV, 6 do
  local id, front = ARGV[i], ARGV[i + 1]
  if redis.call('GETRANGE', P .. 'n:' .. id, 0, 18) == front then
    forget(id, ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
    deleted = deleted + redis.call('UNLINK', P .. 'n:' .. id)
  end
end

for _, L in pairs(lanes) do
  local left = {}
  for part in parts(L) do
    if redis.call('EXISTS', key_of(L, part)) == 1 then left[#left + 1] = part .. ',' end
  end
  local pt = table.concat(left)
  if pt ~= L.pt then put(L, 'pt', pt, pt) end
  save(L)
end
return {now, deleted}
