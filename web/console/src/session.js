// Who is signed in. The secret is in this tab only: in memory, and in sessionStorage if the user wants to survive a reload.
import { Client, about } from "./aws/client.js";

const KEPT = "pileus-console";

export class Session {
  constructor() {
    this.client = null;
    this.cloud = null;
    this.who = null;
  }

  // Sign in with what this tab kept; whether that worked.
  async resume() {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
    if (!kept) return false;
    try {
      await this.enter(kept.keys, true);
      return true;
    } catch (error) {
      if (error.status) sessionStorage.removeItem(KEPT);
      else throw error;
      return false;
    }
  }

  // Try the keys; throws `Refused` in the cloud's words.
  async enter(keys, keep) {
    this.cloud = await about();
    const client = new Client(keys, this.cloud.region, this.cloud.skew);
    this.who = await client.who();
    this.client = client;
    if (keep) sessionStorage.setItem(KEPT, JSON.stringify({ keys }));
  }

  leave() {
    sessionStorage.removeItem(KEPT);
    this.client = this.who = null;
  }
}
