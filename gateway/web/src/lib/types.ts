// The shapes of /api/v1, as gateway/admin/openapi.json describes them. Times are RFC 3339, values decimal text.

export type Role = "viewer" | "clinician" | "admin";
export type Priority = "high" | "medium" | "low";
export type Category = "physiological" | "technical";
export type ReceiptLevel = "R0" | "R1" | "R2" | "R3";
export type GapReason = "silent" | "disconnected" | "contact_lost" | "dropped" | "clock_step" | "ended" | "invalid";

export interface Trace {
  rate_hz: string;
  span_ms: number;
  points: number[];
}

export interface Tile {
  athlete: string | null;
  device: string;
  quantity: string;
  unit: string;
  value: string | null;
  trace: Trace | null;
  gap: GapReason | null;
  quality: string[];
  device_time: string;
  gateway_time: string;
  stale_after_ms: number;
  assurance: string;
  revision: number;
}

export interface Alert {
  id: string;
  rule: string;
  rule_version: string;
  category: Category;
  /** It stays raised until somebody resets it. */
  latches: boolean;
  priority: Priority;
  athlete: string | null;
  device: string;
  quantity: string;
  value: string | null;
  unit: string;
  event_time: string;
  /** How far it has escalated because nobody acknowledged it; 0: not. */
  escalation?: number;
  escalated_at?: string | null;
  message: string;
  state: "raised" | "acknowledged" | "cleared";
  acknowledged_by: string | null;
  acknowledged_at: string | null;
  cleared_at: string | null;
  reset_by: string | null;
  reset_note: string | null;
}

export interface Block {
  index: number;
  hash: string;
  sealed_at: string;
  readings: number;
  payload_bytes: number;
  receipt: ReceiptLevel;
}

export interface Status {
  gateway: string;
  version: string;
  started_at: string;
  devices_connected: number;
  readings: number;
  ledger: { link: "not_configured" | "connected" | "unreachable"; blocks_waiting: number; last_receipt_at: string | null };
}

export interface Live {
  now: string;
  run: string;
  last_event_id: number;
  status: Status;
  tiles: Tile[];
  alerts: Alert[];
  blocks: Block[];
}

export interface Me {
  name: string;
  role: Role;
  expires_in_s: number;
}

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  what_to_do: string;
}

export type LiveEvent =
  | { type: "hello"; run: string; now: string }
  | { type: "tiles"; now: string; tiles: Tile[] }
  | { type: "gone"; device: string }
  | { type: "alert_raised"; alert: Alert }
  | { type: "alert_escalated"; alert: Alert }
  | { type: "drill"; at: string; proved: boolean; problems: string[] }
  | { type: "alert_acknowledged"; id: string; by: string; at: string }
  | { type: "alert_cleared"; id: string; at: string; by?: string }
  | { type: "block_sealed"; block: Block }
  | { type: "receipt"; index: number; receipt: ReceiptLevel }
  | { type: "status"; status: Status }
  | { type: "beat"; now: string };
