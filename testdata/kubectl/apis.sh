# The whole lists of kinds and groups.
$ kubectl api-versions
$ kubectl api-resources --no-headers | tr -s ' '
