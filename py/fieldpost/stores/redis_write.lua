-- What is written outside of commits: the start, captures, parts of files. ARGV[1]: which of them.
local writes = {}

-- ARGV[2]: the mark of the queue's keys; the others: the counters. Answers {'other keys'} where
-- another ring has sealed what is here.
function writes.open()
  if call('EXISTS', META) == 0 then
    call('HSET', META, 'schema', SCHEMA, 'keys', ARGV[2])
    for at = 3, #ARGV do
      call('HSET', META, ARGV[at], 0)
    end
  end
  local wrong = not_ours()
  if wrong then
    return wrong
  end
  if call('HGET', META, 'keys') ~= ARGV[2] then
    return {'other keys'}
  end
  return {'done'}
end

-- ARGV: id, at, sealed, attachment ids as JSON.
function writes.capture()
  local id, at, data, uses = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
  local key = P .. ':c:' .. id
  if call('EXISTS', key, P .. ':i:' .. id) > 0 then
    return {'done'}
  end
  call('HSET', key, 'at', at, 'data', data, 'uses', uses)
  call('ZADD', P .. ':inbox', text(call('HINCRBY', META, 'captured', 1)), id)
  for _, attachment in ipairs(cjson.decode(uses)) do
    refer(attachment, ':' .. id)
  end
  call('HINCRBY', META, 'inbox', 1)
  call('HINCRBY', META, 'revision', 1)
  return {'done'}
end

-- ARGV: attachment id, number (0: the manifest), sealed, when it was made ('': not known).
function writes.blob()
  local id, n, data, at = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
  local key = P .. ':b:' .. id
  call('HSET', key, n, data)
  if at ~= '' and (n == '0' or not call('HGET', key, '0')) then
    call('HSET', key, 'at', at)
    if call('EXISTS', P .. ':a:' .. id) == 0 then
      call('ZADD', P .. ':loose', at, id)
    end
  end
  return {'done'}
end

if ARGV[1] ~= 'open' then
  local wrong = not_ours()
  if wrong then
    return wrong
  end
end
return writes[ARGV[1]]()
