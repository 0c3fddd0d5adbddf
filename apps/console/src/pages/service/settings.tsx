export default function Pending(): null {
  return null;
}
