const LABEL = '[a-zA-Z_]\\w*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"'

/** A line of Prometheus' text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/ */
export const PROMETHEUS_LINE = new RegExp(
  `^(# HELP \\w+ .*|# TYPE \\w+ (counter|gauge|histogram)|[a-zA-Z_]\\w*\\{${LABEL}(,${LABEL})*\\} (NaN|[+-]Inf|-?[\\d.e+-]+))$`,
)
