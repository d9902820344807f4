// Words and numbers for people.

import type { ReceiptLevel } from "./types";

/** `4 s`, `3 min`, `2 h`, `5 d`: one unit, rounded down, so that nothing looks older than it is by more than that. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** `heart_rate` -> `Heart rate`. */
export function quantityName(quantity: string): string {
  const known = QUANTITY_NAMES[quantity];
  if (known !== undefined) return known;
  const words = quantity.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const QUANTITY_NAMES: Record<string, string> = {
  core_temperature: "Core temp.",
  skin_temperature: "Skin temp.",
  ambient_temperature: "Air temp.",
  relative_humidity: "Humidity",
  oxygen_saturation: "SpO₂",
  respiratory_rate: "Breathing",
  systolic_pressure: "Systolic",
  diastolic_pressure: "Diastolic",
  mean_arterial_pressure: "MAP",
  uv_index: "UV index",
  rr_interval: "RR interval",
  ecg: "ECG",
  emg: "EMG",
};

/** UCUM -> what is printed on a scoreboard. "Per minute" depends on what is counted. */
export function unitName(unit: string, quantity: string): string {
  if (unit === "/min") return PER_MINUTE[quantity] ?? "/min";
  return UNITS[unit] ?? unit;
}

const PER_MINUTE: Record<string, string> = {
  heart_rate: "bpm",
  pulse_rate: "bpm",
  cadence: "rpm",
  respiratory_rate: "/min",
};
const UNITS: Record<string, string> = {
  "1": "",
  Cel: "°C",
  "%": "%",
  "m/s2": "m/s²",
  uV: "µV",
  "mm[Hg]": "mmHg",
  "N.m": "N·m",
  "W/m2": "W/m²",
  deg: "°",
};

/** A value as the sensor gave it, with a true minus sign. Precision is never added or taken. A yes or no is said as one. */
export function valueText(value: string, quantity: string): string {
  if (quantity === "skin_contact") return value === "0" ? "no" : "yes";
  return value.startsWith("-") ? `−${value.slice(1)}` : value;
}

/** `heat-illness` -> `Heat illness`. */
export function ruleName(rule: string): string {
  const words = rule.replaceAll("-", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function clock(iso: string): string {
  const time = new Date(iso);
  return Number.isNaN(time.getTime()) ? "unknown time" : time.toLocaleTimeString("en-GB", { hour12: false });
}

export function count(n: number): string {
  return n.toLocaleString("en-GB");
}

/** A number of things: `1 reading`, `2,000 readings`. */
export function counted(n: number, thing: string): string {
  return `${count(n)} ${thing}${n === 1 ? "" : "s"}`;
}

export function bytes(n: number): string {
  if (n < 1_000) return `${n} B`;
  if (n < 1_000_000) return `${(n / 1_000).toFixed(1)} kB`;
  return `${(n / 1_000_000).toFixed(1)} MB`;
}

/** What a receipt means, briefly and in full. */
export const RECEIPTS: Record<ReceiptLevel, { brief: string; full: string }> = {
  R0: { brief: "on this gateway", full: "The block is safely on this gateway's disk. The ledger has not confirmed it yet." },
  R1: { brief: "in the ledger's order", full: "The ledger has given the block its place. No published checkpoint covers it yet." },
  R2: {
    brief: "in a published checkpoint",
    full: "A checkpoint signed by the ledger covers the block, with a proof that it is in there. Changing it would show.",
  },
  R3: {
    brief: "witnessed and stored",
    full: "Independent witnesses signed the checkpoint too, and the data was read back from the ledger's store.",
  },
};
