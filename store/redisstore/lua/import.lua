-- import puts notifications of another store into the records and every index, as they are. One that is there
-- already is left alone.
-- ARGV, for each: mch_id, notify_id, record, microsecond of acceptance, partition, due class, due, whether it is
-- held for its own address, next send as counted in snd, field of its idempotency key, score of its order number.
-- Reply: now and how many were new; or now, -1 and the mch_id of a merchant that is not there.
local FIELDS = 11
local lanes, added = {}, 0
for i = 2, #ARGV, FIELDS do
  local mch = ARGV[i]
  if not lanes[mch] then
    lanes[mch] = lane(mch)
    if not lanes[mch] then
      return emptied() or {now, -1, mch}
    end
  end
end
for i = 2, #ARGV, FIELDS do
  local mch, id, created = ARGV[i], ARGV[i + 1], ARGV[i + 3]
  local class, due, L = ARGV[i + 5], ARGV[i + 6], lanes[mch]
  if redis.call('SET', P .. 'n:' .. id, ARGV[i + 2], 'NX') then
    added = added + 1
    list(L, ARGV[i + 4], id, created)
    if class ~= '' then
      wait(L, class, id, due)
      look(L, tonumber(due))
      if class == '2' then put(L, 'fa', '1', '1') end
    end
    if ARGV[i + 7] == '1' then redis.call('ZADD', P .. 'b:' .. mch, created, id) end
    if ARGV[i + 8] ~= '' then redis.call('HINCRBY', P .. 'snd', ARGV[i + 8], 1) end
    if ARGV[i + 9] ~= '' then redis.call('HSET', P .. 'k:' .. mch, ARGV[i + 9], id) end
    local order = ARGV[i + 10]
    if order ~= '' then redis.call('ZADD', P .. 'o:' .. math.floor(order / ORDERS), order, id) end
    if tonumber(created) > L.la then put(L, 'la', tonumber(created)) end
    save(L)
  end
end
return {now, added}
