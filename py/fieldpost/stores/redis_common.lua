-- What every script of the Redis store begins with. KEYS[1] is the queue's prefix, whose hash tag
-- keeps all of its keys in one slot. The values of SCHEMA, OPEN and HEADS_MAX are put before this.
-- Numbers of Lua are exact up to 2^53; they are written out by `text`, never by tostring.
local P = KEYS[1]
local call = redis.call
local META = P .. ':meta'

local function text(number)
  return string.format('%.0f', number)
end

-- A row in an index: its sequence, so that equal scores go by sequence, and its id.
local function id_of(member)
  return string.sub(member, 17, 52)
end

-- What stands in the way of any writing: nothing of a newer version's, or of nobody's, is touched.
local function not_ours()
  local schema = call('HGET', META, 'schema')
  if not schema then
    return {'gone'}
  end
  if tonumber(schema) > SCHEMA then
    return {'newer'}
  end
  return nil
end

local function first(key, count)
  if count < 1 then
    return {}
  end
  return call('ZRANGE', key, 0, count - 1)
end

-- Ids of the rows that carry a mark and were created from since to until, oldest first. Where
-- oldest means the smallest sequence, a member ends with when it was created.
local function marked(key, by_sequence, since, till, limit)
  local found = {}
  if not by_sequence then
    for _, member in ipairs(call('ZRANGEBYSCORE', key, since, till, 'LIMIT', 0, limit)) do
      found[#found + 1] = id_of(member)
    end
    return found
  end
  local from, upto, at = tonumber(since) or -math.huge, tonumber(till) or math.huge, 0
  while true do
    local members = call('ZRANGE', key, at, at + 99)
    for _, member in ipairs(members) do
      local created = tonumber(string.sub(member, 53))
      if created >= from and created <= upto then
        found[#found + 1] = id_of(member)
        if #found == limit then
          return found
        end
      end
    end
    if #members < 100 then
      return found
    end
    at = at + 100
  end
end

-- An attachment is loose when its bytes are here and no row and no capture refers to them.
local function refer(attachment, by)
  call('SADD', P .. ':a:' .. attachment, by)
  call('ZREM', P .. ':loose', attachment)
end

local function unrefer(attachment, by)
  local key = P .. ':a:' .. attachment
  call('SREM', key, by)
  if call('EXISTS', key) == 0 then
    local at = call('HGET', P .. ':b:' .. attachment, 'at')
    if at then
      call('ZADD', P .. ':loose', at, attachment)
    end
  end
end

local function drop_blobs(attachment)
  call('UNLINK', P .. ':b:' .. attachment)
  call('ZREM', P .. ':loose', attachment)
end
