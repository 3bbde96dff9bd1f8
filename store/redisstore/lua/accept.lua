-- accept stores notifications of one shard and claims those that ask for it, where their lane allows.
-- ARGV: default cap, lease, front of a record without claim, then for each: mch_id, notify_id, its
-- microsecond, field of its idempotency key, score of its order number, front when it is claimed (empty: not wanted), rest
-- of the record.
-- Reply: now, then for each: store.AcceptStatus, notify_id of the first with that key, 1 = claimed, revision
-- of the merchant.
local default, lease, unclaimed = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local NEW, REPLAYED, NO_MERCHANT = 0, 1, 3
local out, halted, H, lanes = {now}, nil, nil, nil

-- fast claims in a lane that nothing limits and where nothing waits; nil when it takes more than that.
local function fast(mch, id, us, front, rest)
  if lanes and lanes[mch] then return nil end
  local v = redis.call('HMGET', P .. 'l:' .. mch, 'rv', 'fr', 'wt', 'la', 'at', 'pt', 'mx')
  if v[2] ~= '1' or (v[3] and v[3] ~= '0') then return nil end
  if tonumber(v[4] or 0) < us or not string.find(v[6] or '', '000,', 1, true) then return nil end
  if halted == nil then halted = redis.call('EXISTS', P .. 'stop') == 1 end
  local until_, key = now + lease, P .. 'c:' .. mch
  if halted or not (tonumber(v[5]) and tonumber(v[5]) <= until_) then return nil end
  local most = tonumber(v[7])
  if redis.call('ZCARD', key) >= (most > 0 and most or default) then return nil end
  redis.call('ZADD', key, string.format('%.0f', until_), id)
  redis.call('SET', P .. 'n:' .. id, front .. rest)
  redis.call('ZADD', P .. 't:' .. mch .. ':000', us, id)
  return tonumber(v[1])
end

-- slow decides by the whole lane; nil when its merchant is not there.
local function slow(mch, id, us, front, rest)
  H, lanes = H or cold(), lanes or {}
  local L = lanes[mch] or H.lane(mch)
  if not L or L.dl then return nil end
  lanes[mch] = L
  if halted == nil then halted = H.stopped() end
  local may = front ~= '' and not halted and not H.closed(L) and H.earliest(L) > us
    and H.tokens(L) >= 0.999999
  if may then
    local flying = H.inflight(L)
    may = flying < H.cap(L, default) and (not H.tight(L) or H.breaking().may(L, flying, default))
  end
  if may then
    redis.call('ZADD', P .. 'c:' .. mch, H.int(now + lease), id)
    H.spend(L)
    H.look(L, now + lease)
  else
    H.wait(L, 1, id, H.int(us))
    H.look(L, math.max(us, L.aw))
  end
  redis.call('SET', P .. 'n:' .. id, (may and front or unclaimed) .. rest)
  H.list(L, '000', id, H.int(us))
  H.newest(L, us)
  return L.rv, may
end

for i = 5, #ARGV, 7 do
  local mch, id, us, key = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local status, first, claimed = NEW, '', false
  if key ~= '' then
    first = redis.call('HGET', P .. 'k:' .. mch, key) or ''
    -- A key whose record is gone, damaged beyond what prune could read, is free again.
    if first ~= '' and redis.call('EXISTS', P .. 'n:' .. first) == 1 then status = REPLAYED end
  end
  local revision
  if status == NEW then
    if ARGV[i + 5] ~= '' then revision = fast(mch, id, us, ARGV[i + 5], ARGV[i + 6]) end
    claimed = revision ~= nil
    if not claimed then revision, claimed = slow(mch, id, us, ARGV[i + 5], ARGV[i + 6]) end
    if not revision then
      local gone = H.emptied()
      if gone then return gone end
      status = NO_MERCHANT
    else
      if key ~= '' then redis.call('HSET', P .. 'k:' .. mch, key, id) end
      local order = ARGV[i + 4]
      if order ~= '' then redis.call('ZADD', P .. 'o:' .. math.floor(order / ORDERS), order, id) end
    end
  end
  local n = #out
  out[n + 1], out[n + 2], out[n + 3], out[n + 4] = status, first, claimed and 1 or 0, revision or 0
end
for _, L in pairs(lanes or {}) do H.save(L) end
return out
