#!/bin/sh
# A lin-kv node with a single key, which refuses every cas.
value=
while read -r line; do
  client=${line#*'"src":"'} node=${line#*'"dest":"'} id=${line#*'"msg_id":'}
  case $line in
    *'"type":"init"'*) body='"type":"init_ok"' ;;
    *'"type":"write"'*)
      value=${line#*'"value":'} value=${value%%\}*}
      body='"type":"write_ok"'
      ;;
    *'"type":"cas"'*) body='"type":"error","code":10,"text":"there is no cas"' ;;
    *)
      body="\"type\":\"read_ok\",\"value\":$value"
      [ "$value" ] || body='"type":"error","code":20,"text":"no such key"'
      ;;
  esac
  printf '{"src":"%s","dest":"%s","body":{%s,"in_reply_to":%s}}\n' \
    "${node%%'"'*}" "${client%%'"'*}" "$body" "${id%%[,\}]*}"
done
