#!/bin/sh
# A lin-kv node that answers every read with a value that nobody wrote.
while read -r line; do
  client=${line#*'"src":"'} node=${line#*'"dest":"'} id=${line#*'"msg_id":'}
  case $line in
    *'"type":"init"'*) body='"type":"init_ok"' ;;
    *'"type":"read"'*) body='"type":"read_ok","value":999' ;;
    *'"type":"write"'*) body='"type":"write_ok"' ;;
    *) body='"type":"error","code":22,"text":"another value"' ;;
  esac
  printf '{"src":"%s","dest":"%s","body":{%s,"in_reply_to":%s}}\n' \
    "${node%%'"'*}" "${client%%'"'*}" "$body" "${id%%[,\}]*}"
done
