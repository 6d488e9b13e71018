// What a person has given for this tab: never in an address, never in a log, gone with the tab.

export class Kept {
  constructor(name) {
    this.name = name;
    this.value = "";
  }

  read() {
    try {
      return sessionStorage.getItem(this.name) ?? this.value;
    } catch {
      return this.value;
    }
  }

  keep(value) {
    this.value = value;
    try {
      if (value) sessionStorage.setItem(this.name, value);
      else sessionStorage.removeItem(this.name);
    } catch {
      // A browser that keeps nothing asks again after a reload.
    }
  }
}
