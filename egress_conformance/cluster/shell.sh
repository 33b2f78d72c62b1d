# Runs in a container under bash for as long as somebody has commands for it: one exec serves many commands.
#
# stdin:  lines `NUMBER COMMAND`; a command may read on from it. What is no such line was meant for a command that had
#         ended by the time it came, and is left out.
# stdout: what the commands print, and after each of them a record separator, its number and its exit code
while IFS= read -r line; do
  number=${line%% *}
  [[ $number =~ ^[0-9]+$ ]] || continue
  eval "${line#* }"
  printf '\036%s %s\n' "$number" $?
done
