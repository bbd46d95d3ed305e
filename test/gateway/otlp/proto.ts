import protobuf from 'protobufjs'

/** Fields that are not read by the decoder under test: `read` is the schema without them. */
const UNREAD = '// unread'

// Messages of opentelemetry-proto 1.10 and of googleapis. Strings are not verified, since the decoder is lenient there.
const SCHEMA = `
edition = "2023";
option features.utf8_validation = NONE;
option features.field_presence = IMPLICIT;

message ExportMetricsServiceRequest { repeated ResourceMetrics resource_metrics = 1; }
message ResourceMetrics {
  Resource resource = 1;
  repeated ScopeMetrics scope_metrics = 2;
  string schema_url = 3; // unread
}
message Resource {
  repeated KeyValue attributes = 1;
  uint32 dropped_attributes_count = 2; // unread
}
message ScopeMetrics {
  InstrumentationScope scope = 1;
  repeated Metric metrics = 2;
  string schema_url = 3; // unread
}
message InstrumentationScope {
  string name = 1;
  string version = 2;
  repeated KeyValue attributes = 3;
  uint32 dropped_attributes_count = 4; // unread
}
message Metric {
  string name = 1;
  string description = 2; // unread
  string unit = 3;
  oneof data {
    Gauge gauge = 5;
    Sum sum = 7;
    Histogram histogram = 9;
    ExponentialHistogram exponential_histogram = 10;
    Summary summary = 11;
  }
  repeated KeyValue metadata = 12; // unread
}
message Gauge { repeated NumberDataPoint data_points = 1; }
message Sum {
  repeated NumberDataPoint data_points = 1;
  int32 aggregation_temporality = 2;
  bool is_monotonic = 3;
}
message Histogram {
  repeated HistogramDataPoint data_points = 1;
  int32 aggregation_temporality = 2;
}
message ExponentialHistogram {
  repeated ExponentialHistogramDataPoint data_points = 1;
  int32 aggregation_temporality = 2;
}
message Summary { repeated SummaryDataPoint data_points = 1; }
message NumberDataPoint {
  repeated KeyValue attributes = 7;
  fixed64 start_time_unix_nano = 2;
  fixed64 time_unix_nano = 3;
  oneof value {
    double as_double = 4;
    sfixed64 as_int = 6;
  }
  repeated Exemplar exemplars = 5; // unread
  uint32 flags = 8;
}
message HistogramDataPoint {
  repeated KeyValue attributes = 9;
  fixed64 start_time_unix_nano = 2;
  fixed64 time_unix_nano = 3;
  fixed64 count = 4;
  double sum = 5 [features.field_presence = EXPLICIT];
  repeated fixed64 bucket_counts = 6; // unread
  repeated double explicit_bounds = 7; // unread
  repeated Exemplar exemplars = 8; // unread
  uint32 flags = 10;
  double min = 11 [features.field_presence = EXPLICIT]; // unread
  double max = 12 [features.field_presence = EXPLICIT]; // unread
}
message ExponentialHistogramDataPoint {
  repeated KeyValue attributes = 1;
  fixed64 start_time_unix_nano = 2;
  fixed64 time_unix_nano = 3;
  fixed64 count = 4;
  double sum = 5 [features.field_presence = EXPLICIT];
  sint32 scale = 6; // unread
  fixed64 zero_count = 7; // unread
  Buckets positive = 8; // unread
  Buckets negative = 9; // unread
  uint32 flags = 10;
  repeated Exemplar exemplars = 11; // unread
  double min = 12 [features.field_presence = EXPLICIT]; // unread
  double max = 13 [features.field_presence = EXPLICIT]; // unread
  double zero_threshold = 14; // unread
}
message Buckets {
  sint32 offset = 1;
  repeated uint64 bucket_counts = 2;
}
message SummaryDataPoint {
  repeated KeyValue attributes = 7;
  fixed64 start_time_unix_nano = 2;
  fixed64 time_unix_nano = 3;
  fixed64 count = 4;
  double sum = 5;
  repeated ValueAtQuantile quantile_values = 6; // unread
  uint32 flags = 8;
}
message ValueAtQuantile {
  double quantile = 1;
  double value = 2;
}
message Exemplar {
  repeated KeyValue filtered_attributes = 7;
  fixed64 time_unix_nano = 2;
  oneof value {
    double as_double = 3;
    sfixed64 as_int = 6;
  }
  bytes span_id = 4;
  bytes trace_id = 5;
}
message KeyValue {
  string key = 1;
  AnyValue value = 2;
}
message AnyValue {
  oneof value {
    string string_value = 1;
    bool bool_value = 2;
    int64 int_value = 3;
    double double_value = 4;
    ArrayValue array_value = 5;
    KeyValueList kvlist_value = 6;
    bytes bytes_value = 7;
  }
}
message ArrayValue { repeated AnyValue values = 1; }
message KeyValueList { repeated KeyValue values = 1; }

message ExportMetricsServiceResponse { ExportMetricsPartialSuccess partial_success = 1; }
message ExportMetricsPartialSuccess {
  int64 rejected_data_points = 1;
  string error_message = 2;
}

message Status {
  int32 code = 1;
  string message = 2;
  repeated Any details = 3;
}
message Any {
  string type_url = 1;
  bytes value = 2;
}
message RetryInfo { Duration retry_delay = 1; }
message Duration {
  int64 seconds = 1;
  int32 nanos = 2;
}
message BadRequest { repeated FieldViolation field_violations = 1; }
message FieldViolation {
  string field = 1;
  string description = 2;
}
`

const parse = (schema: string) => protobuf.parse(schema).root

/** All messages, to write requests and read answers with. */
export const proto = parse(SCHEMA)

/** Requests as the library decodes them with everything that a sender may write. */
export const Request = proto.lookupType('ExportMetricsServiceRequest')

/** The same without what the decoder under test skips: here both find the same bytes malformed. */
export const ReadRequest = parse(
  SCHEMA.split('\n')
    .filter(line => !line.endsWith(UNREAD))
    .join('\n'),
).lookupType('ExportMetricsServiceRequest')

/** Encodes a request that is given with the names of OTLP/JSON. */
export function encode(request: object): Buffer {
  return Buffer.from(Request.encode(Request.fromObject(request)).finish())
}

/** Decodes an answer. */
export function decode(message: string, bytes: Uint8Array): Record<string, unknown> {
  const type = proto.lookupType(message)
  return type.toObject(type.decode(bytes), { longs: Number })
}
